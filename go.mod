module turnhub

go 1.26.8
