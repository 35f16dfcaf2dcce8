package main

// Run is for tests: it is the program without its process.
var Run = run
