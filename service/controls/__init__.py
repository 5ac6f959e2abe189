"""Controls: what stops new orders. Halts set by people, brokers that drifted from their profile, a stream gone blind."""
