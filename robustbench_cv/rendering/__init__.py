"""From results to what people read: cells, tables, figures, pictures, the page."""
