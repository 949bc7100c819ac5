package main

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"
)

// suite has the cases of Go's own benchmarks of its context package.
func suite(timed map[string]row) {
	processors := runtime.GOMAXPROCS(0)
	parallel := func(run func(n int)) func(int) time.Duration { return threads(processors, run) }

	timed["go/common-parent-cancel"] = func() func(int) time.Duration {
		shared := child(context.WithValue(context.Background(), key(0), "value"))
		return parallel(func(n int) {
			for i := 0; i < n; i++ {
				made := child(shared.ctx)
				check(made.ctx.Value(key(0)) == any("value"))
				made.cancel()
			}
		})
	}
	for _, armed := range []int{40, 4_000, 400_000} {
		armed := armed
		timed[fmt.Sprintf("go/with-timeout-%d", armed)] = func() func(int) time.Duration {
			root := context.Background()
			beside := make([][]leaf, processors)
			both(processors, func(part int) {
				own := make([]leaf, sized(armed, 40)/processors)
				for i := range own {
					own[i] = timeout(root)
				}
				beside[part] = own
			})
			return parallel(func(n int) {
				var made [10]leaf
				for i := 0; i < n; i++ {
					for j := range made {
						made[j] = timeout(root)
					}
					for j := range made {
						made[j].cancel()
					}
				}
				check(len(beside) == processors)
			})
		}
	}
	for _, depth := range []int{1, 10, 100, 1_000} {
		depth := depth
		build := func(ctx context.Context) {
			for i := 0; i < depth; i++ {
				ctx, _ = context.WithCancel(ctx)
			}
			kept = ctx
		}
		cancelTree := func(root string, op func()) {
			timed[fmt.Sprintf("go/cancel-tree-%s-%d", root, depth)] = func() func(int) time.Duration { return each(op) }
		}
		cancelTree("background", func() { build(context.Background()) })
		cancelTree("open", func() {
			root := child(context.Background())
			build(root.ctx)
			root.cancel()
		})
		cancelTree("closed", func() {
			root := child(context.Background())
			root.cancel()
			build(root.ctx)
		})
	}
	timed["go/check-canceled-err"] = func() func(int) time.Duration {
		root := child(context.Background())
		root.cancel()
		return threads(1, func(n int) {
			for i := 0; i < n; i++ {
				check(root.ctx.Err() != nil)
			}
		})
	}
	timed["go/check-canceled-done"] = func() func(int) time.Duration {
		root := child(context.Background())
		root.cancel()
		return threads(1, func(n int) {
			for i := 0; i < n; i++ {
				check(!pending(root.ctx))
			}
		})
	}
	timed["go/cancel-done"] = func() func(int) time.Duration {
		root := child(context.Background())
		return parallel(func(n int) {
			for i := 0; i < n; i++ {
				check(pending(root.ctx))
			}
		})
	}
	for _, depth := range []int{10, 20, 30, 50, 100} {
		ctx := context.Background()
		for i := 0; i < depth; i++ {
			ctx = context.WithValue(ctx, key(i), i)
		}
		timed[fmt.Sprintf("go/deep-value-same-%d", depth)] = func() func(int) time.Duration {
			return each(func() { kept = ctx.Value(key(-1)) })
		}
		timed[fmt.Sprintf("go/deep-value-new-%d", depth)] = func() func(int) time.Duration {
			return each(func() {
				var wait sync.WaitGroup
				wait.Add(1)
				go func() {
					defer wait.Done()
					kept = ctx.Value(key(-1))
				}()
				wait.Wait()
			})
		}
	}
}
