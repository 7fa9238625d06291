-- A small shop.

CREATE TABLE category (
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL
) STRICT;

CREATE TABLE product (
    id          INTEGER PRIMARY KEY,
    category    INTEGER NOT NULL REFERENCES category,
    name        TEXT NOT NULL,
    price_cents INTEGER NOT NULL,
    stock       INTEGER NOT NULL,
    -- Grows with every change of the product or of its ratings.
    version     INTEGER NOT NULL DEFAULT 1
) STRICT;

CREATE TABLE rating (
    product  INTEGER NOT NULL REFERENCES product,
    customer INTEGER NOT NULL,
    stars    INTEGER NOT NULL CHECK (stars BETWEEN 1 AND 5),
    PRIMARY KEY (product, customer)
) STRICT, WITHOUT ROWID;

-- Made for the query in `product.sql`, which reads nothing else of a category's other products.
CREATE INDEX product_by_category ON product (category, id, price_cents);
