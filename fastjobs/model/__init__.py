"""Pure values and arithmetic: what is stored, how it is named, when it is due; no input or output."""
