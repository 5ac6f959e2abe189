"""What people look at: the state of every part in one place. Pages come later."""
