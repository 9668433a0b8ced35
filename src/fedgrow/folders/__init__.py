"""Model folders in and out: tensors read and written one by one."""
