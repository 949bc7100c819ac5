// Rows measures one row of PERF.md's tables for Go's context and prints it as JSON, in nanoseconds.
//
//	go run . tree/child-1-thread
//	go run . -once tree/child-1-thread   # runs it, measures nothing
//	go run . -list
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"runtime"
	"sort"
	"sync"
	"time"
)

// A row sets itself up when it is called and gives back what runs n operations and says how long they took.
type row func() func(n int) time.Duration

type figure struct {
	Median float64 `json:"median"`
	Low    float64 `json:"low"`
	High   float64 `json:"high"`
}

const (
	usual  = 20
	fewest = 10
	sample = 20 * time.Millisecond
	slow   = 50 * time.Millisecond
)

// small is set where nothing is measured.
var small bool

// sized gives full, or few where nothing is measured.
func sized(full, few int) int {
	if small {
		return few
	}
	return full
}

func measure(run func(n int) time.Duration) figure {
	n, samples := 1, usual
	for {
		start := time.Now()
		run(n)
		wall := time.Since(start)
		if wall >= sample/4 {
			n = max(1, int(float64(n)*float64(sample)/float64(wall)))
			if n == 1 && wall > slow {
				samples = fewest
			}
			break
		}
		n *= 2
	}
	costs := make([]float64, samples)
	for i := range costs {
		costs[i] = float64(run(n)) / float64(n)
	}
	sort.Float64s(costs)
	// Of a median's 95 % interval, by the binomial distribution.
	low := int(float64(samples)/2 - 0.98*math.Sqrt(float64(samples)))
	return figure{costs[samples/2], costs[low], costs[samples-1-low]}
}

// each times one operation after the other.
func each(op func()) func(int) time.Duration {
	return func(n int) time.Duration {
		start := time.Now()
		for i := 0; i < n; i++ {
			op()
		}
		return time.Since(start)
	}
}

// threads runs n operations on each of so many goroutines, from the first start to the last stop.
func threads(count int, run func(n int)) func(int) time.Duration {
	return func(n int) time.Duration {
		starts := make([]time.Time, count)
		stops := make([]time.Time, count)
		var ready, done sync.WaitGroup
		ready.Add(count)
		done.Add(count)
		for i := 0; i < count; i++ {
			go func(i int) {
				defer done.Done()
				runtime.LockOSThread()
				ready.Done()
				ready.Wait()
				starts[i] = time.Now()
				run(n)
				stops[i] = time.Now()
			}(i)
		}
		done.Wait()
		first, last := starts[0], stops[0]
		for i := range starts {
			if starts[i].Before(first) {
				first = starts[i]
			}
			if stops[i].After(last) {
				last = stops[i]
			}
		}
		return last.Sub(first)
	}
}

// itself sums what each run says it took.
func itself(once func() time.Duration) func(int) time.Duration {
	return func(n int) time.Duration {
		var took time.Duration
		for i := 0; i < n; i++ {
			took += once()
		}
		return took
	}
}

func main() {
	once := flag.Bool("once", false, "run the row and measure nothing")
	list := flag.Bool("list", false, "print the rows' names")
	flag.Parse()
	small = *once
	timed, found := rows()
	if *list {
		for name := range timed {
			fmt.Println(name)
		}
		for name := range found {
			fmt.Println(name)
		}
		return
	}
	var out figure
	if find, ok := found[flag.Arg(0)]; ok {
		value := find()
		out = figure{value, value, value}
	} else if set, ok := timed[flag.Arg(0)]; ok {
		run := set()
		runtime.GC()
		if small {
			run(1)
		} else {
			out = measure(run)
		}
	} else {
		fmt.Fprintf(os.Stderr, "no row %q\n", flag.Arg(0))
		os.Exit(2)
	}
	if err := json.NewEncoder(os.Stdout).Encode(out); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
