"""What is written and read with care: whole or not at all, one process at a time, line by line."""
