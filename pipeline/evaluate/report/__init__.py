"""The report: one HTML file without a script, a font or a picture from elsewhere. Colours are in style.css."""
