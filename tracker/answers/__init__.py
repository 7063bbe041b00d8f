"""From tracks to answers: counts, visits, speeds, flows, and the page that shows them."""
