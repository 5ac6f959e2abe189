"""KOSCOM's open platform, as a client: the one real implementation of the port in `service.gateway`."""
