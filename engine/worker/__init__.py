"""F2: what runs on the far side of the fork: zygote, environment, handler."""
