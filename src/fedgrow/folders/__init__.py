"""Model folders in and out: tensors read and written one by one, and growth from one folder to another."""
