//! What operators read: four-letter words, the admin server's JSON, Prometheus metrics.
