"""What a freeze tells: lines, JSON, HTML, pictures; `inspect`."""
