"""Our vocabulary. Standard library only; imports nothing of ours."""
