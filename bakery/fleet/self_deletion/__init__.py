"""Application credentials of Keystone by which workers delete their own servers, with OnIdle = delete."""
