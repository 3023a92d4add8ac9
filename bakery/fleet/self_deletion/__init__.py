"""Application credentials of Keystone with which workers delete their own servers (OnIdle = delete)."""
