// The micro cases in Go, one processor: goroutines, channels, sync.Mutex.
//
//	micro CASE N [--budget-ms MS]
//
// As in common.py: a case returns CPU nanoseconds (or bytes) and operations; the short ones are
// repeated until the budget is used, after one repetition that does not count.
package main

import (
	"fmt"
	"math/rand"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	batch     = 1000
	switchers = 100
	tickers   = 10
	ticks     = 300
	tick      = time.Millisecond
	seed      = 42
)

func cpuNs() int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return usage.Utime.Nano() + usage.Stime.Nano()
}

func rssBytes() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		panic(err)
	}
	var size, resident int64
	fmt.Sscan(string(text), &size, &resident)
	return resident * int64(os.Getpagesize())
}

// together runs n goroutines and waits for them all.
func together(n int, function func(i int)) {
	var group sync.WaitGroup
	group.Add(n)
	for i := 0; i < n; i++ {
		go func(i int) {
			defer group.Done()
			function(i)
		}(i)
	}
	group.Wait()
}

func spawnJoin(n int) (int64, int) {
	start := cpuNs()
	for i := 0; i < n/batch; i++ {
		var group sync.WaitGroup
		group.Add(batch)
		for j := 0; j < batch; j++ {
			go group.Done()
		}
		group.Wait()
	}
	return cpuNs() - start, n / batch * batch
}

func switch100(n int) (int64, int) {
	start := cpuNs()
	together(switchers, func(int) {
		for i := 0; i < n/switchers; i++ {
			runtime.Gosched()
		}
	})
	return cpuNs() - start, n / switchers * switchers
}

func queue3(n int) (int64, int) {
	queue := make(chan int, 3)
	start := cpuNs()
	together(2, func(who int) {
		for i := 0; i < n; i++ {
			if who == 0 {
				queue <- i
			} else {
				<-queue
			}
		}
	})
	return cpuNs() - start, n
}

func pingpong(n int) (int64, int) {
	there, back := make(chan int, 1), make(chan int, 1)
	start := cpuNs()
	together(2, func(who int) {
		for i := 0; i < n; i++ {
			if who == 0 {
				there <- i
				<-back
			} else {
				back <- <-there
			}
		}
	})
	return cpuNs() - start, n
}

func channel(n int) (int64, int) {
	there, back := make(chan int), make(chan int)
	start := cpuNs()
	together(2, func(who int) {
		for i := 0; i < n; i++ {
			if who == 0 {
				there <- i
				<-back
			} else {
				back <- <-there
			}
		}
	})
	return cpuNs() - start, n
}

func select4(n int) (int64, int) {
	var channels [4]chan int
	for i := range channels {
		channels[i] = make(chan int)
	}
	a, b, c, d := channels[0], channels[1], channels[2], channels[3]
	start := cpuNs()
	together(2, func(who int) {
		for i := 0; i < n; i++ {
			if who == 0 {
				channels[i%4] <- i
				continue
			}
			select {
			case <-a:
			case <-b:
			case <-c:
			case <-d:
			}
		}
	})
	return cpuNs() - start, n
}

func sleepers(n int) (int64, int) {
	random := rand.New(rand.NewSource(seed))
	delays := make([]time.Duration, n)
	for i := range delays {
		delays[i] = time.Duration(random.Float64() * float64(time.Second))
	}
	start := cpuNs()
	together(n, func(i int) { time.Sleep(delays[i]) })
	return cpuNs() - start, n
}

func lock100(n int) (int64, int) {
	var lock sync.Mutex
	start := cpuNs()
	together(switchers, func(int) {
		for i := 0; i < n/switchers; i++ {
			lock.Lock()
			runtime.Gosched()
			lock.Unlock()
		}
	})
	return cpuNs() - start, n / switchers * switchers
}

func parkedMemory(n int) (int64, int) {
	event := make(chan struct{})
	var parked int64
	together(batch, func(int) {})
	runtime.GC()
	before := rssBytes()
	for i := 0; i < n; i++ {
		go func() {
			atomic.AddInt64(&parked, 1)
			<-event
		}()
	}
	for atomic.LoadInt64(&parked) < int64(n) {
		runtime.Gosched()
	}
	used := rssBytes() - before
	runtime.KeepAlive(event)
	return used, n
}

// laps is how often each of n goroutines is switched to in scale_switch.
func laps(n int) int {
	if n > 200_000/3 {
		return 3
	}
	return 200_000 / n
}

func scaleSwitch(n int) (int64, int) {
	var used int64
	together(n, func(who int) {
		runtime.Gosched() // now every goroutine has been started
		start := int64(0)
		if who == 0 {
			start = cpuNs()
		}
		for i := 0; i < laps(n); i++ {
			runtime.Gosched()
		}
		if who == 0 {
			used = cpuNs() - start
		}
	})
	return used, laps(n) * n
}

func scaleTimer(n int) (int64, int) {
	var asleep int64
	for i := 0; i < n-tickers; i++ {
		go func() {
			atomic.AddInt64(&asleep, 1)
			time.Sleep(time.Hour)
		}()
	}
	for atomic.LoadInt64(&asleep) < int64(n-tickers) {
		runtime.Gosched()
	}
	start := cpuNs()
	together(tickers, func(int) {
		for i := 0; i < ticks; i++ {
			time.Sleep(tick)
		}
	})
	return cpuNs() - start, tickers * ticks
}

var cases = map[string]func(int) (int64, int){
	"spawn_join": spawnJoin, "switch100": switch100, "queue3": queue3, "pingpong": pingpong,
	"channel": channel, "select4": select4,
	"sleepers": sleepers, "lock100": lock100, "parked_memory": parkedMemory,
	"scale_switch": scaleSwitch, "scale_timer": scaleTimer,
}

var oneShot = map[string]bool{
	"sleepers": true, "parked_memory": true, "scale_switch": true, "scale_timer": true,
}

func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		fmt.Fprintf(os.Stderr, "micro: %q is no number\n", text)
		os.Exit(2)
	}
	return n
}

func main() {
	runtime.GOMAXPROCS(1)
	if len(os.Args) < 3 || cases[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: micro CASE N [--budget-ms MS]")
		os.Exit(2)
	}
	name, n, budget := os.Args[1], number(os.Args[2]), int64(300)
	if len(os.Args) == 5 && os.Args[3] == "--budget-ms" {
		budget = int64(number(os.Args[4]))
	}
	function := cases[name]
	total, operations := int64(0), 0
	if oneShot[name] {
		total, operations = function(n)
	} else {
		function(n)
		for total < budget*1_000_000 {
			used, done := function(n)
			total += used
			operations += done
		}
	}
	fmt.Printf("{\"case\": %q, \"n\": %d, \"value\": %.3f}\n", name, n,
		float64(total)/float64(operations))
}
