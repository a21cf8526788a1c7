"""The only room that speaks commands: keys, scripts, calls and what is sealed."""
