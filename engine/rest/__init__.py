"""F5: Lambda's own REST API, driven by botocore's service model."""
