"""What campus answers: pages for people, endpoints for the tool."""
