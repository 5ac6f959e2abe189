"""A short trading day, played through the service's own REST API, and a comparison of our books with the exchange's."""
