"""From calls to stored chunks: filling them, sending them, and knowing what became of them."""
