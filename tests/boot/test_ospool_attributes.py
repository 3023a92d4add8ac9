"""What a worker of the OSPool says of itself, read from the ad of a real startd in a namespace machine."""
