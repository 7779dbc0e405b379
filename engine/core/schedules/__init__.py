"""F3: schedules: when a function is invoked without being asked, in the words of EventBridge Scheduler."""
