"""People: users, their roles, and the API keys they prove themselves with."""
