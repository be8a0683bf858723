"""Tables, figures and the report page, made from run records; works without torch and images."""
