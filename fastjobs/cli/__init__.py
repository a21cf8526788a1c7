"""The command line: arguments become settings, and settings one call."""
