-- How `python -m tests.lint` checks the scripts, each in one piece as a server gets it.
std = 'lua51'
read_globals = {'redis', 'KEYS', 'ARGV', 'cjson', 'cmsgpack', 'struct', 'bit'}
not_globals = {
  'collectgarbage', 'debug', 'dofile', 'io', 'load', 'loadfile', 'module', 'newproxy', 'os', 'package', 'print', 'require',
}
-- What is bound from `@keys` is longer; the files are checked for their columns.
max_line_length = false
