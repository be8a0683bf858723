"""Sample data, stand-in servers and ways to look at results, shared by the tests."""
