"""A run in the formats of viewers, proofreading tools and analysts: `publishing.publish_run`, and a module for each format."""
