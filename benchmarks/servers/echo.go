// Echo server in Go: a goroutine per connection, blocking-looking code, one processor.
//
//	echo PORT      0 lets the kernel choose; prints "PORT n"
//
// The listener's backlog is the kernel's somaxconn and TCP_NODELAY is set: Go's own defaults.
package main

import (
	"fmt"
	"net"
	"os"
	"runtime"
)

func handle(conn net.Conn) {
	defer conn.Close()
	buffer := make([]byte, 65536)
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			return
		}
		if _, err = conn.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func main() {
	runtime.GOMAXPROCS(1)
	port := "0"
	if len(os.Args) > 1 {
		port = os.Args[1]
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:"+port)
	if err != nil {
		fmt.Fprintln(os.Stderr, "echo: cannot listen:", err)
		os.Exit(1)
	}
	fmt.Println("PORT", listener.Addr().(*net.TCPAddr).Port)
	for {
		conn, err := listener.Accept()
		if err != nil {
			fmt.Fprintln(os.Stderr, "echo: cannot accept:", err)
			os.Exit(1)
		}
		go handle(conn)
	}
}
