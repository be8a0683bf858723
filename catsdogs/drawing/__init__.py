"""Drawn cats and dogs: anatomy, fur, portraits and scenery, with numpy and Pillow only."""
