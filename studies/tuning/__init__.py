"""What `neuroadda tune` is worth on boxes that took no part in its choice."""
