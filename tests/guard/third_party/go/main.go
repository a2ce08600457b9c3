// A Go program with cgo: the runtime turns faults of nil pointers into panics, on stacks of its own, and the driver is in C.
package main

/*
#include "stand_in.h"
*/
import "C"

import (
	"fmt"
	"sync"
	"unsafe"
)

type node struct{ value int }

func valueOf(some *node) (value int, failed bool) {
	defer func() {
		if recover() != nil {
			failed = true
		}
	}()
	return some.value, false
}

func touch(round int) bool {
	const words = 10240
	memory := C.stand_in_allocate(words * 4)
	data := unsafe.Slice((*int32)(unsafe.Pointer(memory)), words)
	for i := range data {
		data[i] = int32(i)
	}
	C.stand_in_add(memory, C.int(round))
	for i := range data {
		if data[i] != int32(i+round) {
			return false
		}
	}
	return true
}

func main() {
	caught, right := 0, 0
	var lock sync.Mutex
	var all sync.WaitGroup
	for round := 0; round < 16; round++ {
		all.Add(1)
		go func(round int) {
			defer all.Done()
			good := touch(round)
			lock.Lock()
			defer lock.Unlock()
			if good {
				right++
			}
			for i := 0; i < 100; i++ {
				if _, failed := valueOf(nil); failed {
					caught++
				}
			}
		}(round)
	}
	all.Wait()
	fmt.Println("caught", caught, "right", right)
}
