-- The page of a product. It reads the ratings of every product in the category.
SELECT
    product.name,
    category.name                           AS category,
    product.price_cents,
    product.stock,
    product.version,
    own.ratings,
    own.stars,
    1 + count(*) FILTER (
        WHERE coalesce(peer.stars, 0) > coalesce(own.stars, 0)
    )                                       AS place,
    count(*)                                AS places,
    cast(avg(peer.price_cents) AS INTEGER)  AS category_cents
FROM product
JOIN category ON category.id = product.category
JOIN (
    SELECT count(*) AS ratings, avg(stars) AS stars
    FROM rating
    WHERE product = ?1
) AS own
JOIN (
    SELECT price_cents, (SELECT avg(stars) FROM rating WHERE product = id) AS stars
    FROM product
    WHERE category = (SELECT category FROM product WHERE id = ?1)
) AS peer
WHERE product.id = ?1
GROUP BY product.id
