// Go's net/http, one processor.   web_go wsgi|file PORT
package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
)

var body = []byte("green room!\n")

func hello(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain")
	w.Write(body)
}

func main() {
	runtime.GOMAXPROCS(1)
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("PORT", listener.Addr().(*net.TCPAddr).Port)
	handler := http.HandlerFunc(hello)
	if os.Args[1] == "file" {
		program, _ := os.Executable()
		path := filepath.Join(filepath.Dir(program), "1m.bin")
		handler = func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, path) }
	}
	fmt.Fprintln(os.Stderr, http.Serve(listener, handler))
}
