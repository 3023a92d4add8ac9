"""What turns a plan into a disk. Nothing else in the house knows which engine ran."""
