"""The ladder of proof: offline, boot, pool. What is claimed of an image was seen to happen."""
