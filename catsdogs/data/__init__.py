"""Where pictures come from: a source gives a folder, a manifest says what stands in it."""
