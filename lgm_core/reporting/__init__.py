"""Results become tables, figures, releases and a page."""
