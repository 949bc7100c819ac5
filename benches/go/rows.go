package main

import (
	"context"
	"fmt"
	"sort"
	"sync"
	"time"
)

const (
	long     = 10 * time.Minute
	crowd    = 10_000
	inFlight = 64
	levels   = 1_000
)

type key int

// kept is written so that what is made and looked up is not optimised away.
var kept any

type leaf struct {
	ctx    context.Context
	cancel context.CancelFunc
}

func child(parent context.Context) leaf {
	ctx, cancel := context.WithCancel(parent)
	return leaf{ctx, cancel}
}

func timeout(parent context.Context) leaf {
	ctx, cancel := context.WithTimeout(parent, long)
	return leaf{ctx, cancel}
}

func check(holds bool) {
	if !holds {
		panic("a subject does not do its work")
	}
}

// pending looks at Done without waiting.
func pending(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	default:
		return true
	}
}

func carrying(depth int) context.Context {
	ctx := context.Background()
	for n := 0; n < depth; n++ {
		k := key(n)
		if n >= 8 {
			k = key(1 + n%7)
		}
		ctx = context.WithValue(ctx, k, uint64(n))
	}
	return ctx
}

func rows() (map[string]row, map[string]func() float64) {
	timed := map[string]row{}
	for _, count := range []int{1, 2} {
		suffix := "-1-thread"
		if count == 2 {
			suffix = "-2-threads"
		}
		shared := func(name string, set func() func(n int)) {
			timed[name+suffix] = func() func(int) time.Duration { return threads(count, set()) }
		}
		tree(shared)
		timers(shared)
	}
	ends(timed)
	values(timed)
	suite(timed)
	found := map[string]func() float64{
		"timers/late-50": func() float64 { return lateness(50) },
		"timers/late-95": func() float64 { return lateness(95) },
		"memory/child":   func() float64 { return bytes(child) },
		"memory/timeout": func() float64 { return bytes(timeout) },
		"memory/request": requestAllocations,
	}
	return timed, found
}

func tree(shared func(string, func() func(int))) {
	shared("tree/is-done", func() func(int) {
		root := child(context.Background())
		return func(n int) {
			for i := 0; i < n; i++ {
				if root.ctx.Err() != nil {
					panic("it is live")
				}
			}
		}
	})
	churn := func(root context.Context, beside int) func(int) {
		siblings := make([]leaf, beside)
		for i := range siblings {
			siblings[i] = child(root)
		}
		return func(n int) {
			for i := 0; i < n; i++ {
				made := child(root)
				made.cancel()
			}
			check(pending(root))
			check(len(siblings) == beside)
		}
	}
	shared("tree/child", func() func(int) { return churn(child(context.Background()).ctx, 0) })
	shared("tree/crowded", func() func(int) { return churn(child(context.Background()).ctx, crowd) })
	shared("tree/values", func() func(int) { return churn(child(carrying(8)).ctx, 0) })
	shared("tree/queue", func() func(int) {
		root := child(context.Background())
		return func(n int) {
			var queue [inFlight]leaf
			for i := range queue {
				queue[i] = child(root.ctx)
			}
			for i := 0; i < n; i++ {
				queue[i%inFlight].cancel()
				queue[i%inFlight] = child(root.ctx)
			}
			for i := range queue {
				queue[i].cancel()
			}
		}
	})
	shared("tree/child-wait", func() func(int) {
		root := child(context.Background())
		return func(n int) {
			for i := 0; i < n; i++ {
				made := child(root.ctx)
				check(pending(made.ctx))
				made.cancel()
			}
		}
	})
}

func timers(shared func(string, func() func(int))) {
	churn := func(beside int) func(int) {
		root := child(context.Background())
		armed := make([]leaf, beside)
		for i := range armed {
			armed[i] = timeout(root.ctx)
		}
		return func(n int) {
			for i := 0; i < n; i++ {
				made := timeout(root.ctx)
				made.cancel()
			}
			check(len(armed) == beside)
		}
	}
	shared("timers/timeout", func() func(int) { return churn(0) })
	shared("timers/crowded-timeout", func() func(int) { return churn(sized(400_000, 400)) })
	shared("timers/request", func() func(int) {
		root := child(context.Background())
		return func(n int) {
			for i := 0; i < n; i++ {
				made := timeout(root.ctx)
				check(pending(made.ctx))
				made.cancel()
			}
		}
	})
}

func ends(timed map[string]row) {
	fan := func(children int) row {
		return func() func(int) time.Duration {
			return itself(func() time.Duration {
				root := child(context.Background())
				leaves := make([]leaf, children)
				for i := range leaves {
					leaves[i] = child(root.ctx)
				}
				start := time.Now()
				root.cancel()
				took := time.Since(start)
				for i := range leaves {
					check(leaves[i].ctx.Err() != nil)
				}
				return took
			})
		}
	}
	timed["tree/cancel-1000"] = fan(1_000)
	timed["tree/cancel-1000000"] = func() func(int) time.Duration { return fan(sized(1_000_000, 2_000))() }
	timed["tree/chain-1000"] = func() func(int) time.Duration {
		return each(func() {
			root := child(context.Background())
			chain := make([]leaf, 0, levels)
			last := root
			for i := 0; i < levels; i++ {
				last = child(last.ctx)
				chain = append(chain, last)
			}
			root.cancel()
			check(chain[levels-1].ctx.Err() != nil)
		})
	}
}

func values(timed map[string]row) {
	type missing struct{}
	for _, depth := range []int{8, 100, 100_000} {
		depth := depth
		timed[fmt.Sprintf("values/first-%d", depth)] = func() func(int) time.Duration {
			ctx := carrying(depth)
			check(ctx.Value(key(0)) == any(uint64(0)))
			return each(func() { kept = ctx.Value(key(0)) })
		}
		timed[fmt.Sprintf("values/missing-%d", depth)] = func() func(int) time.Duration {
			ctx := carrying(depth)
			check(ctx.Value(missing{}) == nil)
			return each(func() { kept = ctx.Value(missing{}) })
		}
	}
	for _, on := range []int{8, 0} {
		on := on
		timed[fmt.Sprintf("values/set-%d", on)] = func() func(int) time.Duration {
			ctx := carrying(on)
			return each(func() { kept = context.WithValue(ctx, key(on), uint64(1)) })
		}
	}
}

// lateness is how late the return of a wait for a deadline of 0.2 to 1.2 ms is.
func lateness(percent int) float64 {
	root := child(context.Background())
	armed := make([]leaf, sized(1_000_000, 1_000))
	for i := range armed {
		armed[i] = timeout(root.ctx)
	}
	late := make([]float64, sized(200, 5))
	for i := range late {
		at := time.Now().Add(200*time.Microsecond + time.Duration(i)*5*time.Microsecond)
		ctx, cancel := context.WithDeadline(root.ctx, at)
		<-ctx.Done()
		late[i] = float64(time.Since(at))
		cancel()
	}
	sort.Float64s(late)
	check(armed[0].ctx.Err() == nil)
	return late[len(late)*percent/100]
}

// both runs a function on every processor and waits for all.
func both(count int, run func(part int)) {
	var wait sync.WaitGroup
	for part := 0; part < count; part++ {
		wait.Add(1)
		go func(part int) {
			defer wait.Done()
			run(part)
		}(part)
	}
	wait.Wait()
}
