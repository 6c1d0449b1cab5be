"""What a study writes: tables, pictures, and a page."""
