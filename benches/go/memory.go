package main

import (
	"context"
	"math"
	"runtime"
)

// bytes is what one of what is made takes on the heap, beside the handles.
func bytes(create func(context.Context) leaf) float64 {
	root := child(context.Background())
	count := sized(100_000, 1_000)
	made := make([]leaf, 2*count)
	fill := func(part []leaf) {
		for i := range part {
			part[i] = create(root.ctx)
		}
	}
	fill(made[:count])
	before := memory().HeapAlloc
	fill(made[count:])
	grown := memory().HeapAlloc - before
	check(made[0].ctx.Err() == nil)
	return math.Round(float64(grown) / float64(count))
}

func memory() runtime.MemStats {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	return stats
}

func requestAllocations() float64 {
	root := child(context.Background())
	count := sized(10_000, 100)
	before := memory().Mallocs
	for i := 0; i < count; i++ {
		made := timeout(root.ctx)
		check(pending(made.ctx))
		made.cancel()
	}
	return math.Round(float64(memory().Mallocs-before)/float64(count)*10) / 10
}
