// The Greeter client on grpc-go: one SayHello per name, in turn.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"google.golang.org/grpc"

	"greet"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) < 2 {
		log.Fatal("usage: client HOST:PORT NAME...")
	}
	conn, err := grpc.Dial(os.Args[1], grpc.WithInsecure())
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	greeter := greet.NewGreeterClient(conn)

	for _, name := range os.Args[2:] {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		reply, err := greeter.SayHello(ctx, &greet.HelloRequest{Name: name})
		cancel()
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(reply.GetMessage())
	}
}
