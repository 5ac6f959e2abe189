"""The market: instruments, ticks, price limits, sessions and the calendar. All of it is dated data, loaded, never guessed."""
