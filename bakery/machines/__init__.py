"""Something booted from an image, to be looked at while it lives."""
