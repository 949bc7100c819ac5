module ripcord.example/rows

go 1.21
