"""fastjobs: persistent background jobs on Redis or Valkey."""
